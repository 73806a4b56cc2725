#!/bin/sh
# A browser on a host of netlab: playwright starts this in place of it. Chromium is
# talked to over file descriptors, which exec keeps; Firefox over the host's loopback.
exec ip netns exec "$NETNS" "$BROWSER" "$@"
