#!/bin/sh
# A command line of gost, for `hopline import examples/gost.sh`: through the office's proxy to a relay outside.
exec gost -L 127.0.0.1:1080 \
  -F "http://$OFFICE_USER:$OFFICE_PASSWORD@proxy.corp.example:8080" \
  -F 'socks5+tls://alice:secret@relay.example.net:443?ca=certificates/ca.pem'
