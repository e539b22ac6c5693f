worker notifier
TOKEN=xoxb-of-the-test
echo "FROM_FILE=value-from-a-file" > .env
