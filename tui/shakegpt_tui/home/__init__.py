"""What the home screen shows of models, machine and runs; the start form. No widgets."""
