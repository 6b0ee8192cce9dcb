"""For tests, ours and those of people who write stores, executors and tools. Nothing else imports it."""
