#!/bin/sh
# Playwright starts this script in place of a browser, which then runs on a host of netlab. It talks
# to Chromium over file descriptors, which exec keeps, and to Firefox over the host's loopback.
exec ip netns exec "$NETNS" "$BROWSER" "$@"
