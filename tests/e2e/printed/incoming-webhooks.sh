SECRET=of-the-sender HOOK_SECRET=of-github
runwright automation triggers create --name deploys --scope global --event webhook --agent deployer --prompt Deploy \
  --endpoint-slug deploys --webhook-secret-value - <<< "$SECRET"
