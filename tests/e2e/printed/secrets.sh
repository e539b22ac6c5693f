worker notifier
