"""The LIBERO benchmark: tasks, physics, images, and what is built on them."""
