"""An emulated Google Cloud: Cloud Storage, IAM and the keys' policies, enforced; its Pulumi provider and its probe."""
