//! Rows of the planner.
