"""The wire under measurement: a gateway that feeds ticks, and the clients that answer them with orders.

Rules: the gateway is the product's simulator but for the ticks, which are encoded beforehand and written by a loop of
this process alone, so that what is measured is the client. Feeder and client have a processor each where there are
two. Every client is given the same bytes, and sends an order on the same ticks.
"""
