"""Running on Azure ML: a job is checked, submitted as a command job of a name that can be found again, followed, stopped.

`courier.py` is the door. Who imports these modules loads nothing of Azure; who calls them does.
"""
