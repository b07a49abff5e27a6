//! Watches the lists in the DNS that the policy in force asks, and follows it when it changes.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::dns_list::DnsList;
use crate::policies::InForce;
use crate::site::Site;

/// The task that looks after the lists. Dropping it ends the task.
#[derive(Debug, Default)]
pub struct ListWatch {
    followed: Option<Arc<InForce>>,
    task: Option<JoinHandle<()>>,
}

impl ListWatch {
    /// Watches the lists of the policy that is in force now.
    pub fn follow(&mut self, site: &Site) {
        if self.followed.as_ref().is_some_and(|policy| Arc::ptr_eq(policy, &site.policy)) {
            return;
        }
        self.stop();
        self.followed = Some(Arc::clone(&site.policy));
        let lists: Vec<DnsList> =
            site.policy.policy.sources().iter().filter_map(|source| DnsList::of(&source.kind)).collect();
        let services = Arc::clone(&site.services);
        if lists.is_empty() {
            return;
        }
        self.task = Some(tokio::spawn(async move {
            match services.dns() {
                Ok(dns) => services.lists.watch(dns, &lists).await,
                Err(why) => tracing::error!(why, "the lists of the policy can't be asked"),
            }
        }));
    }

    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for ListWatch {
    fn drop(&mut self) {
        self.stop();
    }
}
