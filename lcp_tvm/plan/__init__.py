"""A split is data: tasks that call functions on regions of tensors."""
