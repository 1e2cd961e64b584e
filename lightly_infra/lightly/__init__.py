"""The Lightly platform in plain typed Python: client, models, errors and operations. No Pulumi in here.

Import from the modules: this one stays empty, so that whoever checks a YAML file loads no HTTP library.
"""
