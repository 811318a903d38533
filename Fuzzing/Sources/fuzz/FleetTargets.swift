import Foundation
import NIOCore
@testable import TokenBroker
@testable import TokenBrokerRedis

/// Checks that replies of Redis are read alike however their bytes are divided, and within bounds.
func resp(_ bytes: [UInt8]) {
    let whole = replies(bytes, by: max(1, bytes.count))
    let single = replies(bytes, by: 1)
    expect(whole.replies == single.replies, "the replies depend on how their bytes are divided")
    expect(whole.isMalformed == single.isMalformed, "whether the replies are malformed depends on it")
    for reply in whole.replies {
        guard case .bytes(let text) = reply, let text = String(validating: text, as: UTF8.self) else { continue }
        _ = RedisEvent.event(in: text)
    }
    if let text = String(validating: bytes, as: UTF8.self), case .coolDown(_, let time)? = RedisEvent.event(in: text) {
        expect(time >= .zero && time <= .seconds(300), "a cool-down out of bounds")
    }
}

private func replies(_ bytes: [UInt8], by count: Int) -> (replies: [RESPValue], isMalformed: Bool) {
    var parser = RESPParser()
    var found: [RESPValue] = []
    for start in stride(from: 0, to: bytes.count, by: count) {
        var piece = ByteBuffer(bytes: bytes[start..<min(start + count, bytes.count)])
        parser.append(&piece)
        do {
            while let reply = try parser.next() { found.append(reply) }
        } catch {
            return (found, true)
        }
    }
    return (found, false)
}

/// Reads what is in an entry of a fleet's store, as if its seal were right.
func entry(_ bytes: [UInt8]) {
    if let content = SharedEntry.content(of: bytes) {
        expect(!content.token.secret.isEmpty, "a token without a secret")
        expect(content.life >= .zero && content.life <= .seconds(86_400), "a life out of bounds")
    }
    if let error = SharedEntry.failure(in: bytes, remaining: .seconds(1)) {
        expect(error.retryAfter.map { $0 <= .seconds(1) } ?? true, "a longer pause than stored")
    }
}
