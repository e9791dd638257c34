//! A frame becomes headers and a flow key.
