//! One node, rule by rule.
