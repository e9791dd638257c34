//! The smallest of many keys, found again after some of them changed: a knock-out tournament whose
//! results are kept. A key that changes re-plays its own matches only, each a load and a comparison
//! without a branch, so 128 players cost little more than 8.

/// A tournament of keys that are all different.
#[derive(Debug, Clone, Default)]
pub struct Tournament {
    /// Node k has the smaller of nodes 2k and 2k + 1; the last half are the players. A power of two.
    nodes: Vec<u64>,
}

impl Tournament {
    /// Key of who is not to win.
    pub const NONE: u64 = u64::MAX;

    /// Begins anew with so many players, none of which is to win yet.
    pub fn reset(&mut self, players: usize) {
        self.nodes.clear();
        self.nodes.resize(2 * players.next_power_of_two(), Self::NONE);
    }

    /// The winner's key.
    #[inline]
    pub fn least(&self) -> u64 {
        self.nodes[1]
    }

    /// A player's key.
    #[inline]
    pub fn key(&self, player: usize) -> u64 {
        self.nodes[self.nodes.len() / 2 + player]
    }

    /// The players whose keys are not greater than this one, in their order.
    pub fn up_to(&self, key: u64) -> impl Iterator<Item = usize> {
        let players = self.nodes[self.nodes.len() / 2..].iter().enumerate();
        players.filter(move |(_, own)| **own <= key).map(|(player, _)| player)
    }

    /// Gives a player another key, for a match that [`Tournament::play`] is to decide.
    #[inline]
    pub fn enter(&mut self, player: usize, key: u64) {
        let first = self.nodes.len() / 2;
        self.nodes[first + player] = key;
    }

    /// Plays every match.
    pub fn play(&mut self) {
        for node in (1..self.nodes.len() / 2).rev() {
            self.nodes[node] = self.nodes[2 * node].min(self.nodes[2 * node + 1]);
        }
    }

    /// Gives a player another key and plays its matches.
    #[inline]
    pub fn replay(&mut self, player: usize, key: u64) {
        let nodes = self.nodes.as_mut_slice();
        let (mut node, mut least) = (nodes.len() / 2 + player, key);
        nodes[node] = least;
        while node > 1 {
            least = least.min(nodes[node ^ 1]);
            node /= 2;
            nodes[node] = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_wins_whatever_changed() {
        for players in [0, 1, 2, 3, 8, 9, 100, 128, 129] {
            let mut rng = fastrand::Rng::with_seed(players as u64);
            let mut keys = vec![Tournament::NONE; players];
            let mut tournament = Tournament::default();
            tournament.reset(players);
            assert_eq!(tournament.least(), Tournament::NONE);
            for _ in 0..if players == 0 { 0 } else { 1000 } {
                let player = rng.usize(..players);
                keys[player] = if rng.u8(..4) == 0 { Tournament::NONE } else { rng.u64(..50) };
                if rng.bool() {
                    tournament.replay(player, keys[player]);
                } else {
                    tournament.enter(player, keys[player]);
                    tournament.play();
                }
                assert_eq!(Some(tournament.least()), keys.iter().copied().min());
                assert_eq!(tournament.key(player), keys[player]);
                let up_to: Vec<usize> = (0..players).filter(|&player| keys[player] <= 9).collect();
                assert_eq!(tournament.up_to(9).collect::<Vec<_>>(), up_to);
            }
        }
    }
}
