//! Accounts, as the administrator sees them.

use super::{Answer, Teller};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The most accounts that one command lists.
pub(super) const FOUND_MAX: usize = 100_000;

impl Teller {
    pub(super) async fn add_user(&self, address: &str, password: &str) -> Answer {
        let account =
            self.service().create_account(address, password).await.map_err(|error| failed("add", address, &error))?;
        let data = json!({ "address": account.address, "id": account.id });
        Ok((format!("added {}\n", account.address), data))
    }

    pub(super) async fn delete_user(&self, address: &str) -> Answer {
        self.service().delete_account(address).await.map_err(|error| failed("delete", address, &error))?;
        Ok((format!("deleted {address}\n"), Value::Null))
    }

    pub(super) async fn change_pass(&self, address: &str, password: &str) -> Answer {
        let changed = self.service().set_password(address, password).await;
        changed.map_err(|error| failed("change the password of", address, &error))?;
        Ok((format!("changed the password of {address}\n"), Value::Null))
    }

    pub(super) async fn find_user(&self, pattern: &str) -> Answer {
        let found = self.service().find_accounts(pattern, FOUND_MAX).await.map_err(|error| error.to_string())?;
        if found.is_empty() {
            return Err(format!("no account has {pattern:?} in its address"));
        }
        let mut text = String::new();
        for account in &found {
            let disabled = if account.enabled { "" } else { " (disabled)" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}{disabled}", account.address);
        }
        let data = found.iter().map(|account| {
            json!({
                "address": account.address,
                "id": account.id,
                "enabled": account.enabled,
                "quotaBytes": account.quota_bytes,
            })
        });
        Ok((text, data.collect()))
    }

    pub(super) async fn path(&self, user: &str) -> Answer {
        let account = self.service().find_account(user).await.map_err(|error| failed("find", user, &error))?;
        let path = self.inner.parts.data.display().to_string();
        let text = format!("{path} (account {} in log/ and index/)\n", account.id);
        Ok((text, json!({ "path": path, "id": account.id })))
    }
}

fn failed(what: &str, who: &str, why: &dyn std::fmt::Display) -> String {
    format!("failed to {what} {who}: {why}")
}
