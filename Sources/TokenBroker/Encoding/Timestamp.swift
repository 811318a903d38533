package import FoundationEssentials

/// Parses a time in any of the forms that token endpoints use: ISO 8601 with or without a zone (UTC if it is absent)
/// and a fraction, seconds since 1970, milliseconds since 1970, and those numbers as strings; `nil` for anything else.
package func timestamp(_ value: JSONValue) -> Date? {
    switch value {
    case .number(let number): number.double.flatMap(date(sinceEpoch:))
    case .string(let text): Double(text.unicode).flatMap(date(sinceEpoch:)) ?? iso8601(text.unicode)
    default: nil
    }
}

/// Reads numbers up to the year 5138 as seconds, and larger ones as milliseconds. No expiry of a token is ambiguous.
private func date(sinceEpoch number: Double) -> Date? {
    guard number.isFinite, number > 0, number < 1e14 else { return nil }
    return Date(timeIntervalSince1970: number < 1e11 ? number : number / 1000)
}

private func iso8601(_ text: String) -> Date? {
    var rest = text.utf8[...]
    guard let year = digits(&rest, 4), skip(&rest, "-"), let month = digits(&rest, 2), skip(&rest, "-"),
        let day = digits(&rest, 2), skip(&rest, "T") || skip(&rest, "t") || skip(&rest, " "),
        let hour = digits(&rest, 2), skip(&rest, ":"), let minute = digits(&rest, 2)
    else { return nil }
    var second = 0
    var fraction = 0.0
    if skip(&rest, ":") {
        guard let value = digits(&rest, 2) else { return nil }
        second = value
        if skip(&rest, ".") || skip(&rest, ",") {
            let part = rest.prefix { 48...57 ~= $0 }
            guard !part.isEmpty, let value = Double("0." + String(decoding: part.prefix(9), as: UTF8.self)) else {
                return nil
            }
            fraction = value
            rest = rest[part.endIndex...]
        }
    }
    guard let offset = zone(&rest), rest.isEmpty, year >= 1970,
        let seconds = secondsSince1970(year, month, day, hour, minute, second)
    else { return nil }
    return Date(timeIntervalSince1970: Double(seconds - offset) + fraction)
}

/// Parses the offset from UTC in seconds, positive to the east; zero without a zone.
private func zone(_ rest: inout Substring.UTF8View) -> Int? {
    if rest.isEmpty || skip(&rest, "Z") || skip(&rest, "z") { return 0 }
    let sign = skip(&rest, "+") ? 1 : skip(&rest, "-") ? -1 : 0
    guard sign != 0, let hours = digits(&rest, 2), hours < 24 else { return nil }
    _ = skip(&rest, ":")
    guard let minutes = rest.isEmpty ? 0 : digits(&rest, 2), minutes < 60 else { return nil }
    return sign * (hours * 3600 + minutes * 60)
}

/// Parses `Retry-After` (RFC 9110, section 10.2.3): seconds, with or without a fraction, or an HTTP date.
///
/// White space around the value is ignored. A date in the past is zero, and the result is at most a day.
/// - Parameter now: The time that a date is compared with: the server's own time, if it is known.
/// - Returns: `nil` for anything else, such as a list.
package func retryAfter(_ text: String, now: Date) -> Duration? {
    let day = 86_400.0
    let text = text.trimmingWhiteSpace
    if let seconds = decimal(text.utf8) { return .seconds(min(seconds, day)) }
    guard let date = httpDate(String(text), now: now) else { return nil }
    return .seconds(min(max(date.timeIntervalSince(now), 0), day))
}

/// Parses `7` or `2.5`: ASCII digits, with at most one point, and digits on both sides of it.
private func decimal(_ text: Substring.UTF8View) -> Double? {
    let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy { 48...57 ~= $0 } }) else { return nil }
    return Double(Substring(text))
}

/// Parses an HTTP date (RFC 9110, section 5.6.7) in any of its three forms; `nil` for anything else.
///
/// - `Sun, 06 Nov 1994 08:49:37 GMT`
/// - `Sunday, 06-Nov-94 08:49:37 GMT` (RFC 850)
/// - `Sun Nov  6 08:49:37 1994` (`asctime`)
/// - Parameter now: A two-digit year is the latest one that is not more than 50 years after this.
package func httpDate(_ text: String, now: Date = Date()) -> Date? {
    let parts = text.trimmingWhiteSpace.split(separator: " ").map(\.utf8)
    guard let name = parts.first, let day = weekdays.first(where: { name.starts(with: $0.utf8.prefix(3)) }) else {
        return nil
    }
    let date: [Substring.UTF8View]
    let time: Substring.UTF8View
    if parts.count == 6, name.elementsEqual("\(day.prefix(3)),".utf8), parts[5].elementsEqual("GMT".utf8) {
        (date, time) = (Array(parts[1...3]), parts[4])
    } else if parts.count == 4, name.elementsEqual("\(day),".utf8), parts[3].elementsEqual("GMT".utf8) {
        date = parts[1].split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        time = parts[2]
    } else if parts.count == 5, name.elementsEqual(day.prefix(3).utf8) {
        (date, time) = ([parts[2], parts[1], parts[4]], parts[3])
    } else {
        return nil
    }
    // Only `asctime` has one-digit days, and only RFC 850 has two-digit years.
    let (dayLength, yearLength) = (parts.count == 5 ? date[0].count : 2, parts.count == 4 ? 2 : 4)
    guard date.count == 3, let day = number(date[0], dayLength), date[0].count <= 2,
        let month = months.firstIndex(where: { date[1].elementsEqual($0.utf8) }),
        var year = number(date[2], yearLength)
    else { return nil }
    if yearLength == 2 {
        let latest = civil(now).year + 50
        year += latest / 100 * 100
        if year > latest { year -= 100 }
    }
    let clock = time.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    guard clock.count == 3, let hour = number(clock[0], 2), let minute = number(clock[1], 2),
        let second = number(clock[2], 2),
        let seconds = secondsSince1970(year, month + 1, day, hour, minute, second)
    else { return nil }
    return Date(timeIntervalSince1970: Double(seconds))
}

/// Returns an HTTP date in the preferred form, without the fraction of the second.
package func httpDateText(_ date: Date) -> String {
    func padded(_ number: Int, _ length: Int = 2) -> String {
        String(repeating: "0", count: max(0, length - "\(number)".utf8.count)) + "\(number)"
    }
    let (year, month, day, days, seconds) = civil(date)
    let time = [seconds / 3600, seconds / 60 % 60, seconds % 60].map { padded($0) }.joined(separator: ":")
    // 1970 began on a Thursday.
    let weekday = weekdays[((days + 3) % 7 + 7) % 7].prefix(3)
    return "\(weekday), \(padded(day)) \(months[month - 1]) \(padded(year, 4)) \(time) GMT"
}

private let weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
private let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/// Parses a number of exactly `count` digits.
private func number(_ text: Substring.UTF8View, _ count: Int) -> Int? {
    var rest = text
    let number = digits(&rest, count)
    return rest.isEmpty ? number : nil
}

/// Returns the day in the proleptic Gregorian calendar in UTC, its number since 1970, and the second within the day.
private func civil(_ date: Date) -> (year: Int, month: Int, day: Int, days: Int, seconds: Int) {
    // No protocol has a date beyond these years, and within them the arithmetic cannot overflow.
    let time = Int(min(max(date.timeIntervalSince1970.rounded(.down), -62_135_596_800), 253_402_300_799))
    let days = time >= 0 ? time / 86_400 : (time - 86_399) / 86_400
    // The years begin in March, in eras of 400 years.
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (
        yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1, days,
        time - days * 86_400
    )
}

private func digits(_ rest: inout Substring.UTF8View, _ count: Int) -> Int? {
    let part = rest.prefix(count)
    guard part.count == count, part.allSatisfy({ 48...57 ~= $0 }) else { return nil }
    rest = rest[part.endIndex...]
    return Int(String(decoding: part, as: UTF8.self))
}

private func skip(_ rest: inout Substring.UTF8View, _ character: Unicode.Scalar) -> Bool {
    guard let first = rest.first, UInt32(first) == character.value else { return false }
    rest.removeFirst()
    return true
}

/// Returns the seconds since 1970 in the proleptic Gregorian calendar, in UTC; `nil` for a date that does not exist. A
/// leap second counts as the second after it.
private func secondsSince1970(_ year: Int, _ month: Int, _ day: Int, _ hour: Int, _ minute: Int, _ second: Int) -> Int?
{
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let lengths = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    guard (1...9999).contains(year), (1...12).contains(month), (1...lengths[month - 1]).contains(day), hour < 24,
        minute < 60, second <= 60
    else { return nil }
    let before = year - 1
    let leapDays = before / 4 - before / 100 + before / 400 - 477
    let days = (year - 1970) * 365 + leapDays + lengths[..<(month - 1)].reduce(0, +) + day - 1
    return days * 86_400 + hour * 3600 + minute * 60 + second
}
