"""Boards that nobody owns: workers that keep a board's time, on a network of this machine.

    network namespace of a machine        network namespace of a machine
      worker -- TCP -- eth0 (TAP)           worker -- TCP -- eth0 (TAP)
                           |                                     |
                           +---------- switch, a process --------+
                                 rate, latency, medium of a cluster file

It needs root and /dev/net/tun. Namespaces have no names: they go with their last process, and the
processes go with the one that started them, however that ends.
"""
