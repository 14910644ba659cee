"""`--memory lowest`: training with weights, gradients, moments and activations in files."""
