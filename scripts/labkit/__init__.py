"""The lab: a client, a director and three real servers in network namespaces, and what the lab's programs share."""
