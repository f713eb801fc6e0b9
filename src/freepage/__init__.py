"""Measures, explains and forecasts what Free Page Reporting gives back to hosts that run virtual machines."""

__version__ = "0.1.0"
