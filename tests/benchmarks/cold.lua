-- Every request carries an X-Request-ID and a Cookie that no request before it had.
local head

local function fresh()
   return string.format("%08x%08x%08x%08x", math.random(0, 0x7fffffff), math.random(0, 0x7fffffff),
                        math.random(0, 0x7fffffff), math.random(0, 0x7fffffff))
end

function init(args)
   math.randomseed(tonumber(args[1]))
   head = wrk.format():sub(1, -3) .. "X-Request-ID: "
end

function request()
   return head .. fresh() .. "\r\nCookie: session=" .. fresh() .. "\r\n\r\n"
end
