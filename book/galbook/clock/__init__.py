"""When do denoisers begin to memorize? Small networks, trained until they do."""
