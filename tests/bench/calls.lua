-- Sends the same request again and again, or one for each token of a file in turn, and prints JSON at the end.
-- All requests are written beforehand, so that every point costs wrk the same.

local requests, turn = {}, 0

init = function(arguments)
  if (arguments[2] or "") ~= "" then wrk.method, wrk.body = "POST", arguments[2] end
  for token in io.lines(arguments[1]) do
    wrk.headers["authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format()
  end
  if #requests == 0 then requests[1] = wrk.format() end
end

request = function()
  turn = turn % #requests + 1
  return requests[turn]
end

done = function(summary, latency, _)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %.6f, "p50": %.1f, "p99": %.1f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout + e.status))
end
