-- Sends the requests of a file, in an order drawn at random, and writes what came of it as one line of JSON.
-- A line of the file: method, path, token, body; separated by tabs, the last two may be empty.
local prepared = {}

local function read(path)
    local lines = {}
    for line in io.lines(path) do
        local method, target, token, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
        lines[#lines + 1] = {method, target, token, body}
    end
    return lines
end

local seed = 0
function setup(thread)
    seed = seed + 1
    thread:set("seed", seed)
end

function init(arguments)
    math.randomseed(seed)
    for _, line in ipairs(read(arguments[1])) do
        local headers = {["Host"] = wrk.headers["Host"], ["Accept"] = "application/json"}
        if line[3] ~= "" then headers["Authorization"] = "Bearer " .. line[3] end
        local body = nil
        if line[4] ~= "" then
            body = line[4]
            headers["Content-Type"] = "application/json"
        end
        prepared[#prepared + 1] = wrk.format(line[1], line[2], headers, body)
    end
end

function request()
    return prepared[math.random(#prepared)]
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        'RESULT {"requests": %d, "microseconds": %d, "p50": %.1f, "p90": %.1f, "p99": %.1f, "max": %.1f, ' ..
        '"bad_status": %d, "socket_errors": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
        latency.max, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
