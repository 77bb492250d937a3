"""Work on many items: in this process, over a pool of processes, or over a Ray cluster, with progress."""

from amplify.jobs.graph import Node, run_graph
from amplify.jobs.mapping import Done, map_jobs
from amplify.jobs.once import Once
from amplify.jobs.placement import distributed
from amplify.jobs.worker import cores, one_thread, progress

__all__ = ["Done", "Node", "Once", "cores", "distributed", "map_jobs", "one_thread", "progress", "run_graph"]
