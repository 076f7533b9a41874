"""What becomes of an alarm that a rule would raise: raised, suppressed by its cause or a maintenance window, or folded
into a storm. Pure: no SQL, no clock; the engine says facts, this decides who hears of them."""
