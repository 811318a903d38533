package import FoundationEssentials

/// Reads a point in time in any of the forms that token endpoints use: ISO 8601 with or without zone (none is UTC) and fraction, seconds
/// since 1970, milliseconds since 1970, and those numbers as strings; `nil` for anything else.
package func timestamp(_ value: JSONValue) -> Date? {
    switch value {
    case .number(let number): number.double.flatMap(date(sinceEpoch:))
    case .string(let text): Double(text.unicode).flatMap(date(sinceEpoch:)) ?? iso8601(text.unicode)
    default: nil
    }
}

/// As seconds up to the year 5138, above as milliseconds; both are clear for any token's expiry.
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
    guard let offset = zone(&rest), rest.isEmpty,
        let seconds = secondsSince1970(year, month, day, hour, minute, second)
    else { return nil }
    return Date(timeIntervalSince1970: Double(seconds - offset) + fraction)
}

/// Seconds east of UTC. Without a zone: UTC.
private func zone(_ rest: inout Substring.UTF8View) -> Int? {
    if rest.isEmpty || skip(&rest, "Z") || skip(&rest, "z") { return 0 }
    let sign = skip(&rest, "+") ? 1 : skip(&rest, "-") ? -1 : 0
    guard sign != 0, let hours = digits(&rest, 2), hours < 24 else { return nil }
    _ = skip(&rest, ":")
    guard let minutes = rest.isEmpty ? 0 : digits(&rest, 2), minutes < 60 else { return nil }
    return sign * (hours * 3600 + minutes * 60)
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): whole seconds, or a date in the preferred format. A date in the past is zero, and
/// nothing is longer than a day; `nil` if it is neither.
package func retryAfter(_ text: String, now: Date) -> Duration? {
    let day = 86_400.0
    if !text.isEmpty, text.utf8.allSatisfy({ 48...57 ~= $0 }) {
        return .seconds(Double(text).map { min($0, day) } ?? day)
    }
    guard let date = httpDate(text) else { return nil }
    return .seconds(min(max(date.timeIntervalSince(now), 0), day))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
private func httpDate(_ text: String) -> Date? {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    let parts = text.split(separator: " ")
    guard parts.count == 6, parts[0].hasSuffix(","), parts[5] == "GMT",
        let month = months.firstIndex(of: String(parts[2]))
    else { return nil }
    var (day, year, time) = (parts[1].utf8[...], parts[3].utf8[...], parts[4].utf8[...])
    guard let day = digits(&day, 2), let year = digits(&year, 4), let hour = digits(&time, 2), skip(&time, ":"),
        let minute = digits(&time, 2), skip(&time, ":"), let second = digits(&time, 2), time.isEmpty,
        let seconds = secondsSince1970(year, month + 1, day, hour, minute, second)
    else { return nil }
    return Date(timeIntervalSince1970: Double(seconds))
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

/// Proleptic Gregorian calendar, UTC; `nil` for a date that does not exist. A leap second counts as the second after it.
private func secondsSince1970(_ year: Int, _ month: Int, _ day: Int, _ hour: Int, _ minute: Int, _ second: Int) -> Int?
{
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let lengths = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    guard (1970...9999).contains(year), (1...12).contains(month), (1...lengths[month - 1]).contains(day), hour < 24,
        minute < 60, second <= 60
    else { return nil }
    let before = year - 1
    let leapDays = before / 4 - before / 100 + before / 400 - 477
    let days = (year - 1970) * 365 + leapDays + lengths[..<(month - 1)].reduce(0, +) + day - 1
    return days * 86_400 + hour * 3600 + minute * 60 + second
}
