"""The rules of a queue, pure: commands and a time in; answers, changes to store and news out."""
