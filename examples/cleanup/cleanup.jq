# The state in, the reply out. A time in `values` is for tests, which must find the same each time.
{s: 1, m: 60, h: 3600, d: 86400} as $seconds
| (.values.now // now) as $now
| .object.metadata
| (.labels.ttl
   | capture("^(?<number>[0-9]+)(?<unit>[smhd])$") // error("the label ttl is \(.), expected a number and s, m, h or d: 12h")
   | (.number | tonumber) * $seconds[.unit]) as $ttl
| if $now - (.creationTimestamp | fromdateiso8601) >= $ttl then {object: null} else {} end
