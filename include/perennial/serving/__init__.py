"""The scoring service: answers for one model, follows its champion, and keeps a log of every answer."""
