"""A plot engine for terminals: numbers to characters. It knows neither runs nor widgets."""
