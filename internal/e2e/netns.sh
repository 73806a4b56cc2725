#!/bin/sh
# Chromium on a host of netlab: playwright starts this in place of the browser,
# and talks to it over the file descriptors that exec keeps.
exec ip netns exec "$NETNS" chromium "$@"
