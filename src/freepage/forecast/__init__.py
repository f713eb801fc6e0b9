"""Forecasts of what FPR would give back, before it is switched on: footprints from what was seen of VMs without it, fleets, density."""
