import Foundation
import TokenBroker

/// The secret service's JSON. `Secret` is `Decodable`, so its values are never plain strings.
struct Pair: Decodable {
    var clientID: Secret
    var clientSecret: Secret

    enum CodingKeys: String, CodingKey {
        case clientID = "client_id"
        case clientSecret = "client_secret"
    }

    init?(_ json: [UInt8]) {
        guard let pair = try? JSONDecoder().decode(Pair.self, from: Data(json)) else { return nil }
        self = pair
    }
}
