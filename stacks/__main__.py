"""The program behind every stack. What is made stands in `Pulumi.<stack>.yaml` beside it."""

from lightly_infra.stack import main

main()
