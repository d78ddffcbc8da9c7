-- What HAProxy does for Evergate: it asks the gateway about each request before an app
-- gets it. Made by `evergate snippet haproxy --lua`.

local ask = "http://127.0.0.1:9091/.evergate/auth"
local address = "127.0.0.1:9091"
local cookies = { "__host-http-evergate", "evergate-admin", "__host-evergate-admin", "__host-evergate" }
local scheme = "https"

-- Headers that the gateway's answer always has. They go up in place of the client's.
local told = { "Authorization", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Request-Id" }

-- Headers of a connection, which end at HAProxy.
local hop = { ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true,
    ["transfer-encoding"] = true, ["upgrade"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true }

-- lines are the values of a header in their order. HAProxy counts them from 0.
local function lines(values)
    local all = {}
    if values ~= nil then
        local i = 0
        while values[i] ~= nil do
            all[#all + 1] = values[i]
            i = i + 1
        end
    end
    return all
end

-- is_own reports whether a piece of a cookie header is the gateway's, by what any reader
-- could take for its name. It looks at each byte once: whoever sends it chooses its length.
local function is_own(piece)
    local name = piece:match("^[= \t]*([^=]*)")
    local from = name:find("[^ \t\"]")
    if from == nil then
        return false
    end
    for _, cookie in ipairs(cookies) do
        local to = from + #cookie
        if name:sub(from, to - 1):lower() == cookie and (name:sub(to, to) == "-" or name:find("[^ \t\"]", to) == nil) then
            return true
        end
    end
    return false
end

-- keep is a cookie header without the gateway's cookies.
local function keep(all)
    local kept = {}
    for _, line in ipairs(all) do
        for piece in line:gmatch("[^;]+") do
            if not is_own(piece) then
                kept[#kept + 1] = piece:gsub("^[ \t]+", "")
            end
        end
    end
    return table.concat(kept, "; ")
end

-- refuse has the browser get an answer in place of the app's: evergate_answer gives it,
-- for an action cannot read the body that the browser is sending. Pieces are written with
-- their length, so that nothing in one is taken for the next.
local function refuse(txn, status, headers, body)
    local pieces = { tostring(status), body }
    for _, h in ipairs(headers) do
        pieces[#pieces + 1] = h[1]
        pieces[#pieces + 1] = h[2]
    end
    for i, piece in ipairs(pieces) do
        pieces[i] = #piece .. ":" .. piece
    end
    txn:set_var("txn.evergate_answer", table.concat(pieces))
end

local function silent(txn)
    refuse(txn, 503, { { "content-type", "text/plain" }, { "cache-control", "no-store" }, { "retry-after", "5" } },
        "The gateway does not answer. Try again in a few seconds.\n")
end

-- most is how much of a body is read before the answer goes out, in bytes. A browser that
-- still sends when it comes may take it for a broken connection.
local most = 256 * 1024 * 1024

core.register_service("evergate_answer", "http", function(applet)
    local packed, pieces, at = applet:get_var("txn.evergate_answer"), {}, 1
    while at <= #packed do
        local size, from = packed:match("^(%d+):()", at)
        pieces[#pieces + 1] = packed:sub(from, from + size - 1)
        at = from + size
    end
    local read = 0
    -- Nothing of a body comes before who waits for 100 is told to send it, and a request to
    -- change the protocol has none: what follows it has no end.
    if applet.headers["expect"] == nil and applet.headers["upgrade"] == nil then
        repeat
            local data = applet:receive(65536)
            read = read + #data
        until #data == 0 or read > most
    end
    applet:set_status(tonumber(pieces[1]))
    for i = 3, #pieces, 2 do
        applet:add_header(pieces[i], pieces[i + 1])
    end
    applet:add_header("content-length", tostring(#pieces[2]))
    applet:start_response()
    if applet.method ~= "HEAD" then
        applet:send(pieces[2])
    end
end)

core.register_action("evergate", { "http-req" }, function(txn)
    local headers = {}
    local got = txn.http:req_get_headers()
    for name, values in pairs(got) do
        if not hop[name:lower()] then
            headers[name:lower()] = lines(values)
        end
    end
    local host = lines(got["host"])[1]
    headers["host"] = { address }
    headers["x-forwarded-method"] = { txn.f:method() }
    headers["x-forwarded-proto"] = { scheme }
    headers["x-forwarded-host"] = { host }
    headers["x-forwarded-uri"] = { txn.f:pathq() }
    headers["x-forwarded-for"] = { tostring(txn.f:src()) }
    if got["upgrade"] ~= nil then
        headers["upgrade"] = { "websocket" }
    end
    local ok, res = pcall(function()
        return core.httpclient():get({ url = ask, headers = headers, timeout = 60000 })
    end)
    if not ok or res == nil or type(res.status) ~= "number" or res.status < 200 then
        core.log(core.err, "evergate: the gateway does not answer at " .. ask)
        return silent(txn)
    end
    local answered = {}
    for name, values in pairs(res.headers or {}) do
        answered[name:lower()] = lines(values)
    end
    if res.status > 200 and res.status < 300 then -- the gateway has no other yes
        return silent(txn)
    end
    if res.status ~= 200 then
        local out = {}
        for name, values in pairs(answered) do
            if not hop[name] then
                for _, value in ipairs(values) do
                    out[#out + 1] = { name, value }
                end
            end
        end
        return refuse(txn, res.status, out, res.body or "")
    end
    for _, name in ipairs(told) do
        local values = answered[name:lower()]
        txn.http:req_del_header(name)
        if values == nil or #values ~= 1 then -- whoever said yes was not the gateway
            core.log(core.err, "evergate: the answer at " .. ask .. " has no " .. name)
            return silent(txn)
        end
        if values[1] ~= "" then
            txn.http:req_set_header(name, values[1])
        end
    end
    local sent = lines(got["cookie"])
    if #sent > 0 then
        txn.http:req_del_header("cookie")
        local kept = keep(sent)
        if kept ~= "" then
            txn.http:req_set_header("cookie", kept)
        end
    end
    txn:set_var("txn.evergate_yes", "yes") -- without it nothing passes, whatever went wrong above
end, 0)

-- An app sets no cookie of the gateway's, and clears none.
core.register_action("evergate_cookies", { "http-res" }, function(txn)
    txn.http:res_del_header("clear-site-data")
    local set = lines(txn.http:res_get_headers()["set-cookie"])
    local kept = {}
    for _, line in ipairs(set) do
        if not is_own(line:match("^[^;]*")) then
            kept[#kept + 1] = line
        end
    end
    if #kept < #set then
        txn.http:res_del_header("set-cookie")
        for _, line in ipairs(kept) do
            txn.http:res_add_header("set-cookie", line)
        end
    end
end, 0)
