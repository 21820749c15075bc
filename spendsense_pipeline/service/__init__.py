"""The web service: everything a person or a program does over HTTP, on the governance database and the warehouse.

It decides nothing by itself: each route calls the function that the command and the job call.
"""
