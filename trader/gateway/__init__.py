"""The broker's edge: what a gateway is, its errors, its codes, its pace."""
