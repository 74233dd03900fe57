"""``python -m demo`` replays the demo against the running local stack."""

from demo.replay import main

main()
