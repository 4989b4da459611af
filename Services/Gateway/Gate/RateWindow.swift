/// Counts requests against one limit, for one key: never more than `count` in any span of the window's length, and
/// never more than `burst` ahead of an even flow.
///
/// The window is cut into 60 slots and moves slot by slot. A plain token bucket would let through twice the limit in a
/// window: the full bucket and what flows in meanwhile. The script in ``RateScript`` does the same in Redis; this one
/// serves while Redis is away, and is the one that tests look at closely.
struct RateWindow: Sendable, Hashable {
    struct Answer: Sendable, Hashable {
        var isAllowed: Bool
        var remaining: Int
        /// Milliseconds after which to try again; 0 if allowed.
        var waitMilliseconds: Int64
    }
    static let slots: Int64 = 60

    private var counts = [Int](repeating: 0, count: Int(RateWindow.slots) + 1)
    private var slot: Int64 = 0
    private var total = 0
    /// What is left of the burst, in requests times the window's milliseconds: so the flow of every millisecond counts
    /// in full.
    private var level: Int64
    private(set) var last: Int64

    init(_ rule: RateRule, now: Int64) {
        level = Int64(rule.burst) * rule.window.milliseconds
        last = now
        slot = now / Self.slotLength(rule)
    }

    /// Rounded up: sixty slots that are shorter than the window would let it through twice at their edges.
    private static func slotLength(_ rule: RateRule) -> Int64 { max(1, (rule.window.milliseconds + slots - 1) / slots) }

    /// Asks for one request at a moment in milliseconds.
    mutating func take(_ rule: RateRule, now: Int64) -> Answer {
        let length = Self.slotLength(rule)
        advance(to: max(slot, now / length))
        let window = rule.window.milliseconds
        level = min(Int64(rule.burst) * window, level + max(0, now - last) * Int64(rule.count))
        last = max(now, last)
        if total >= rule.count {
            return Answer(isAllowed: false, remaining: 0, waitMilliseconds: max(1, oldestEnd(length) - now))
        }
        if level < window {
            let wait = (window - level + Int64(rule.count) - 1) / Int64(rule.count)
            return Answer(isAllowed: false, remaining: 0, waitMilliseconds: max(1, wait))
        }
        total += 1
        level -= window
        counts[Int(slot % (Self.slots + 1))] += 1
        return Answer(isAllowed: true, remaining: min(rule.count - total, Int(level / window)), waitMilliseconds: 0)
    }

    /// Takes back a request that was counted and not let through; of the newest, since it has just been counted.
    mutating func giveBack(_ rule: RateRule) {
        let newest = stride(from: slot, through: max(0, slot - Self.slots), by: -1).lazy
            .map { Int($0 % (Self.slots + 1)) }.first { counts[$0] > 0 }
        guard let newest else { return }
        counts[newest] -= 1
        total -= 1
        level = min(Int64(rule.burst) * rule.window.milliseconds, level + rule.window.milliseconds)
    }

    private mutating func advance(to now: Int64) {
        guard now > slot else { return }
        if now - slot > Self.slots {
            counts = [Int](repeating: 0, count: counts.count)
            total = 0
        } else {
            for old in (slot + 1)...now {
                let index = Int(old % (Self.slots + 1))
                total -= counts[index]
                counts[index] = 0
            }
        }
        slot = now
    }

    /// When the oldest requests that still count will have left the window.
    private func oldestEnd(_ length: Int64) -> Int64 {
        for old in (slot - Self.slots)...slot where old >= 0 && counts[Int(old % (Self.slots + 1))] > 0 {
            return (old + Self.slots + 1) * length
        }
        return 0
    }
}

/// The same count in Redis, shared by all gateways. One key to a command, so that it runs on a cluster; the server's own
/// time, so that gateways need not agree on it.
enum RateScript {
    /// KEYS[1]; ARGV: count, window in ms, burst. Gives {allowed, remaining, wait in ms}.
    static let take = """
        local count, window, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
        local time = redis.call('TIME')
        local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
        local length = math.max(1, math.ceil(window / 60))
        local slot = math.floor(now / length)
        local state = redis.call('HMGET', KEYS[1], 's', 'n', 'l', 'm')
        local seen, total, level, last = tonumber(state[1]), tonumber(state[2]), tonumber(state[3]), tonumber(state[4])
        if not seen or slot - seen > 60 then
          if seen then redis.call('DEL', KEYS[1]) end
          total = 0
          if not seen then level, last = burst, now end
          seen = slot
        end
        if slot < seen then slot = seen end
        while seen < slot do
          seen = seen + 1
          local field = 'c' .. (seen % 61)
          local old = redis.call('HGET', KEYS[1], field)
          if old then
            total = total - tonumber(old)
            redis.call('HDEL', KEYS[1], field)
          end
        end
        level = math.min(burst, level + math.max(0, now - last) * count / window)
        last = math.max(now, last)
        local allowed, remaining, wait = 0, 0, 0
        if total >= count then
          wait = window
          for old = slot - 60, slot do
            if redis.call('HEXISTS', KEYS[1], 'c' .. (old % 61)) == 1 then
              wait = (old + 61) * length - now
              break
            end
          end
        elseif level < 1 then
          wait = math.ceil((1 - level) * window / count)
        else
          allowed = 1
          total = total + 1
          level = level - 1
          redis.call('HINCRBY', KEYS[1], 'c' .. (slot % 61), 1)
          remaining = math.min(count - total, math.floor(level))
        end
        if allowed == 0 and wait < 1 then wait = 1 end
        redis.call('HSET', KEYS[1], 's', slot, 'n', total, 'l', string.format('%.6f', level), 'm', last)
        redis.call('PEXPIRE', KEYS[1], window * 2 + 1000)
        return {allowed, remaining, wait}
        """

    /// ``RateWindow/giveBack(_:)``. KEYS[1] and ARGV as for ``take``; gives how many requests it took back.
    static let giveBack = """
        local state = redis.call('HMGET', KEYS[1], 's', 'n', 'l')
        local slot, total, level = tonumber(state[1]), tonumber(state[2]), tonumber(state[3])
        if not slot or total < 1 then return 0 end
        for old = slot, math.max(0, slot - 60), -1 do
          local field = 'c' .. (old % 61)
          local counted = tonumber(redis.call('HGET', KEYS[1], field) or 0)
          if counted > 0 then
            if counted == 1 then redis.call('HDEL', KEYS[1], field) else redis.call('HINCRBY', KEYS[1], field, -1) end
            redis.call('HSET', KEYS[1], 'n', total - 1, 'l',
              string.format('%.6f', math.min(tonumber(ARGV[3]), level + 1)))
            return 1
          end
        end
        return 0
        """

    /// KEYS[1] holds positions as ``PositionSet/stored``; ARGV[1] more of them, ARGV[2] the moment before which a
    /// position is too old, ARGV[3] the seconds to keep it. The newest of each stream stays.
    static let mergePositions = """
        local best = {}
        local function read(text)
          for stream, number, moment in string.gmatch(text, '([%a]+%.%d%d):(%d+)@(%d+)') do
            local known = best[stream]
            if tonumber(moment) >= tonumber(ARGV[2]) and (not known or #number > #known[1]
              or (#number == #known[1] and number > known[1])) then
              best[stream] = {number, moment}
            end
          end
        end
        read(redis.call('GET', KEYS[1]) or '')
        read(ARGV[1])
        local parts = {}
        for stream, entry in pairs(best) do parts[#parts + 1] = stream .. ':' .. entry[1] .. '@' .. entry[2] end
        if #parts == 0 then return 0 end
        table.sort(parts)
        redis.call('SET', KEYS[1], table.concat(parts, ','), 'EX', ARGV[3])
        return #parts
        """
}
