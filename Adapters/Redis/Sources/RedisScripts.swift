#if RedisSupport
import Crypto

/// A script that the server runs atomically. It is called by its hash, and sent only if the server does not know it.
struct RedisScript: Sendable {
    /// The name of the command in metrics.
    let name: String
    let source: String
    let hash: String

    init(_ name: String, _ source: String) {
        self.name = name
        self.source = source
        hash = Insecure.SHA1.hash(data: Array(source.utf8)).map { byte in
            let digits = String(byte, radix: 16)
            return byte < 16 ? "0" + digits : digits
        }
        .joined()
    }
}

// All times are whole microseconds or, where they go to PX, milliseconds, because Lua's replies are integers. Whatever
// is at a key may have been put there by somebody else, so a value of another type is deleted.
extension RedisScript {
    /// KEYS: token, lease, failure. ARGV: minimum remaining lifetime, owner, lease (ms), tag to replace, tag to ignore,
    /// whether to ignore a failure, the share of a life in which it is due (%), channel.
    static let claim = RedisScript(
        "claim",
        """
        local t = redis.call('TIME')
        local now = t[1] * 1000000 + t[2]
        local entry = redis.pcall('HMGET', KEYS[1], 'v', 'i', 'x', 'l')
        if entry.err then redis.call('DEL', KEYS[1]) entry = {} end
        local value, tag, ends, life = entry[1], entry[2], tonumber(entry[3]), tonumber(entry[4])
        local left, due
        if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[8], '-' .. ARGV[4]) end
        if value and tag and ends and life then
          if tag == ARGV[4] then
            redis.call('DEL', KEYS[1])
          elseif tag ~= ARGV[5] then
            local needed = math.min(tonumber(ARGV[1]), life / 2)
            if ends - now > 0 and ends - now >= needed then
              left = ends - now
              due = left * 100 < life * tonumber(ARGV[7]) or left < needed + life / 10
            end
          end
        end
        if left and not due then return {'T', value, left, tag} end
        local failure = redis.pcall('GET', KEYS[3])
        if type(failure) == 'table' or redis.call('PTTL', KEYS[3]) == -1 then
          redis.call('DEL', KEYS[3])
          failure = false
        end
        if redis.call('PTTL', KEYS[2]) == -1 then redis.call('DEL', KEYS[2]) end
        if failure and ARGV[6] == '' then
          if left then return {'T', value, left, tag} end
          return {'F', failure, redis.call('PTTL', KEYS[3])}
        end
        if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then return {'L'} end
        if left then return {'T', value, left, tag} end
        return {'W', redis.call('PTTL', KEYS[2])}
        """)

    /// KEYS: lease. ARGV: owner, lease (ms).
    static let extend = RedisScript(
        "extend",
        """
        if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        return redis.call('PEXPIRE', KEYS[1], ARGV[2])
        """)

    /// KEYS: token, lease, failure. ARGV: owner, kind (T, F or empty), channel, message, entry, remaining (µs; empty
    /// for a failure), remaining (ms), tag, life.
    static let land = RedisScript(
        "land",
        """
        if redis.pcall('GET', KEYS[2]) ~= ARGV[1] then return 0 end
        redis.call('DEL', KEYS[2])
        if ARGV[2] == 'T' then
          local t = redis.call('TIME')
          local ends = t[1] * 1000000 + t[2] + tonumber(ARGV[6])
          redis.call('DEL', KEYS[1], KEYS[3])
          redis.call('HSET', KEYS[1], 'v', ARGV[5], 'i', ARGV[8], 'x', string.format('%.0f', ends), 'l', ARGV[9])
          redis.call('PEXPIRE', KEYS[1], ARGV[7])
        elseif ARGV[2] == 'F' then
          redis.call('SET', KEYS[3], ARGV[5], 'PX', ARGV[7])
        end
        redis.call('PUBLISH', ARGV[3], ARGV[4])
        return 1
        """)

    /// KEYS: limit. ARGV: calls, window, delay, patience, the server's run, quarantine.
    static let turn = RedisScript(
        "turn",
        """
        local t = redis.call('TIME')
        local now = t[1] * 1000000 + t[2]
        local key, calls, window, delay = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
        local state = redis.pcall('HMGET', key, 'c', 'u', 'r')
        if state.err then state = {} end
        local count, open = tonumber(state[1]) or 0, tonumber(state[2]) or 0
        open = math.min(open, now + 310000000)
        if state[3] ~= ARGV[5] then
          -- Numbers begin with the time, so that none is used again after a loss.
          count, open = now, math.max(open, now + tonumber(ARGV[6]))
          redis.call('DEL', key)
          redis.call('HSET', key, 'r', ARGV[5], 'u', string.format('%.0f', open))
        end
        redis.call('PEXPIRE', key, 600000)
        local field = 's' .. (count % calls)
        local back = tonumber(redis.call('HGET', key, field)) or 0
        local start = math.max(now, open, back + window)
        if start - now > tonumber(ARGV[4]) then return {-1, start - now} end
        redis.call('HSET', key, 'c', string.format('%.0f', count + 1), field, string.format('%.0f', start + delay))
        return {count, start - now}
        """)

    /// KEYS: limit. ARGV: calls, number, earlier.
    static let settle = RedisScript(
        "settle",
        """
        local key, calls, number = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
        local count = redis.pcall('HGET', key, 'c')
        if type(count) == 'table' then return 0 end
        count = tonumber(count) or 0
        if number >= count or count - number > calls then return 0 end
        local field = 's' .. (number % calls)
        local at = tonumber(redis.call('HGET', key, field))
        if at then redis.call('HSET', key, field, string.format('%.0f', at - tonumber(ARGV[3]))) end
        return 1
        """)

    /// KEYS: limit. ARGV: time, channel, message.
    static let coolDown = RedisScript(
        "cool_down",
        """
        local t = redis.call('TIME')
        local open = t[1] * 1000000 + t[2] + tonumber(ARGV[1])
        local state = redis.pcall('HGET', KEYS[1], 'u')
        if type(state) == 'table' then redis.call('DEL', KEYS[1]) state = false end
        open = math.max(open, tonumber(state) or 0)
        redis.call('HSET', KEYS[1], 'u', string.format('%.0f', open))
        redis.call('PEXPIRE', KEYS[1], 600000)
        redis.call('PUBLISH', ARGV[2], ARGV[3])
        return 1
        """)

    /// Tells whether this user may write and run scripts. KEYS: a key of its own. ARGV: channel.
    static let probe = RedisScript(
        "probe",
        """
        redis.call('SET', KEYS[1], '1', 'PX', 1000)
        redis.call('PUBLISH', ARGV[1], '')
        return redis.call('TIME')
        """)
}
#endif
