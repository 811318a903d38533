#if NIOSupport
import FoundationEssentials
import Synchronization
import TokenBroker

/// The `Date` field of responses, which is formatted once a second.
enum ResponseDate {
    private static let last = Mutex<(second: Int, text: String)>((.min, ""))

    static var current: String {
        let now = Date()
        let second = Int(now.timeIntervalSince1970.rounded(.down))
        return last.withLock { last in
            if last.second != second { last = (second, httpDateText(now)) }
            return last.text
        }
    }
}
#endif
