"""Running on Azure ML: a job is checked, submitted as a command job of a name that can be found again, followed, stopped.

`courier.py` is the door. Azure ML's SDK is loaded when a courier asks for something, not with these modules.
"""
