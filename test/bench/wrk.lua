-- wrk's side of the benchmark: sends $BENCH_REQUEST, in which {n} counts up and {n<k>} goes round k numbers, and prints one line of JSON at the end.

local template = os.getenv('BENCH_REQUEST')
local isFixed = not template:find('{n%d*}')
local count = tonumber(os.getenv('BENCH_FROM')) - 1

function request ()
  if isFixed then return template end
  count = count + 1
  return (template:gsub('{n(%d*)}', function (modulus)
    return string.format('%d', 1000000000 + (modulus == '' and count or count % tonumber(modulus)))
  end))
end

function done (summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"microseconds":%d,"failed":%d,"p50Us":%d,"p99Us":%d}\n', summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, latency:percentile(50), latency:percentile(99)))
end
