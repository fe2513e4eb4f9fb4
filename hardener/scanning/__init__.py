"""Is there a backdoor, and in which channels does it live?"""
