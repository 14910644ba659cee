"""The screens: home, run, plot, and the dialogs over them."""
