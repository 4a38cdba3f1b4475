//! What clients ask for.

use crate::engine::hold::Hold;
use crate::engine::instance::Instance;
use crate::engine::mailbox::Mail;
use crate::engine::message::{
    Command, Fetch, Replaces, Response, Shortage, Snapshot, StartRequest,
};
use crate::engine::rewind::By;
use crate::engine::{Answer, Engine, Want};
use crate::history::{Event, Started};
use crate::id::{ExecutionId, InstanceId, InstanceNumber};
use crate::store::{Header, InstanceKey, Kind, RuntimeStatus, Scheduled};
use crate::time::Timestamp;

impl<R: Answer> Engine<R> {
    pub(super) fn command(&mut self, command: Command, reply: R) {
        match command {
            Command::Start(mut request) => {
                if request.version.is_empty() {
                    request.version.clone_from(&self.work.default_version);
                }
                let known = self.work.registry.as_ref().filter(|registry| {
                    registry
                        .find_orchestrator(&request.name, &request.version)
                        .is_none()
                });
                if let Some(registry) = known {
                    let known = registry.orchestrator_names();
                    return self.work.reply(reply, Response::NotRegistered { known });
                }
                if request.fresh {
                    return self.create(request, None, reply);
                }
                let id = request.id.clone();
                self.look_at(&id, Want::Start(request, reply));
            }
            Command::Status { id, detail } => self.look_at(&id, Want::Status(detail, reply)),
            Command::Wait { id } => self.look_at(&id, Want::Wait(reply)),
            Command::Watch { id, seen } => self.look_at(&id, Want::Watch(seen, reply)),
            Command::Purge { id, number } => self.look_at(&id, Want::Purge(number, reply)),
            Command::Retry { id } => self.on_id(id, Want::Retry(reply)),
            Command::Raise {
                id,
                name,
                data,
                event,
            } => {
                let event = Event::EventRaised {
                    name,
                    data,
                    id: event,
                };
                if let Some(mail) = self.if_there_is_room(event, reply) {
                    self.send(id, mail);
                }
            }
            Command::Terminate {
                id,
                reason,
                children,
            } => {
                let event = Event::Terminated { reason, children };
                self.send(id, Mail::of_client(event, reply));
            }
            Command::Suspend { id, reason } => {
                self.on_id(id, Want::Hold(Hold::Suspend(reason, reply)));
            }
            Command::Resume { id } => self.on_id(id, Want::Hold(Hold::Resume(reply))),
            Command::Rewind { id, reason } => {
                let rewind = Hold::Rewind(reason, By::Client(reply));
                self.on_id(id, Want::Hold(rewind));
            }
        }
    }

    /// Goes on with an instance in memory, or with a glimpse of it.
    pub(super) fn look_at(&mut self, id: &InstanceId, want: Want<R>) {
        let here = self
            .ids
            .get(id)
            .and_then(|number| self.instances.get(number));
        if let Some(instance) = here {
            if instance.is_unborn() {
                return self.unborn.entry(instance.number()).or_default().push(want);
            }
            let snapshot = instance.snapshot().only(want.detail());
            let number = instance.number();
            self.looked_at(Some((number, snapshot)), want);
        } else if self.purges.is_gone(id) {
            self.looked_at(None, want);
        } else {
            self.fetch(Fetch::Glimpse(id.clone(), want.detail()), want);
        }
    }

    /// Goes on with those that have looked at an instance before it was part of a commit.
    pub(super) fn go_on_with_born(&mut self, number: InstanceNumber) {
        let Some(wants) = self.unborn.remove(&number) else {
            return;
        };
        let id = self.instances.get(&number).map(|it| it.header.id.clone());
        for want in wants {
            if let Some(id) = &id {
                self.look_at(id, want);
            }
        }
    }

    pub(super) fn looked_at(&mut self, found: Option<(InstanceNumber, Snapshot)>, want: Want<R>) {
        let response = |snapshot| Response::Status(Box::new(snapshot));
        match (want, found) {
            (Want::Start(request, reply), found) => {
                self.start(found.map(|(_, snapshot)| snapshot.header), request, reply);
            }
            (
                Want::Status(_, reply)
                | Want::Wait(reply)
                | Want::Watch(_, reply)
                | Want::Purge(_, reply),
                None,
            ) => {
                self.work.reply(reply, Response::NotFound);
            }
            (Want::Wait(reply), Some((number, snapshot)))
                if !snapshot.header.status.is_terminal() && !planted!(WaitToldEarly) =>
            {
                self.work.waiters.add(number, None, reply);
            }
            (Want::Watch(Some(seen), reply), Some((number, snapshot)))
                if !snapshot.header.status.is_terminal() && !snapshot.is_news_after(&seen) =>
            {
                self.work.waiters.add(number, Some(seen), reply);
            }
            (
                Want::Status(_, reply) | Want::Wait(reply) | Want::Watch(_, reply),
                Some((number, snapshot)),
            ) => {
                if self.is_durable(number) {
                    self.work.known.push((reply, response(snapshot)));
                } else {
                    self.work.reply(reply, response(snapshot));
                }
            }
            (Want::Purge(number, reply), Some((_, snapshot))) => {
                self.purge(snapshot.header, number, reply);
            }
            (Want::Letter(seq, letter), found) => self.post(found, seq, letter),
            (Want::Expire, Some((_, snapshot))) => self.expire(snapshot.header),
            (
                Want::Mail(_)
                | Want::Retry(_)
                | Want::Hold(_)
                | Want::AttemptEnded { .. }
                | Want::Reported(..)
                | Want::Fire(_)
                | Want::Suspect(_)
                | Want::Load
                | Want::Expire,
                _,
            ) => {}
        }
    }

    /// Whether all that can be seen of an instance is durable.
    fn is_durable(&self, number: InstanceNumber) -> bool {
        // Of one that is not in memory everything is.
        self.instances
            .get(&number)
            .is_none_or(|instance| instance.is_idle() && instance.last_commit <= self.durable)
    }

    /// Starts an instance, whether or not there is one of its id.
    fn start(&mut self, there: Option<Header>, request: StartRequest, reply: R) {
        let Some(there) = there else {
            return match request.replaces {
                Replaces::Only(_) => self.work.reply(reply, Response::NotFound),
                Replaces::Nothing | Replaces::Ended => self.create(request, None, reply),
            };
        };
        if planted!(StartOver) {
            self.create(request, None, reply);
        } else if request.event.is_some() && !there.status.is_terminal() {
            self.raise_instead(there.number, request.event, reply);
        } else if request.replaces.may_replace(&there) {
            self.replace(there, request, reply);
        } else {
            let exists = Response::AlreadyExists(there.status);
            self.work.reply(reply, exists);
        }
    }

    /// Creates an instance; it is stored by the commit that purges the one that it `replaces`.
    pub(super) fn create(&mut self, request: StartRequest, replaces: Option<Header>, reply: R) {
        if let Some(shortage) = self.shortage {
            return self.work.reply(reply, Response::LowOnSpace(shortage));
        }
        let StartRequest {
            id,
            name,
            version,
            input,
            tags,
            fresh: _,
            begin,
            event,
            replaces: _,
        } = request;
        let started = Started {
            instance: id,
            execution: ExecutionId::default(),
            name,
            version,
            input,
            parent: None,
            event_ids: Vec::new(),
            tags,
        };
        let mail = |event| Mail::of_client(event, reply);
        let at = begin.moment(self.work.now);
        let number = self.begin(Box::new(started), at, mail);
        if let Some(instance) = self.instances.get_mut(&number) {
            instance.replaces = replaces;
            if let Some(event) = event {
                // In one commit with the start.
                instance.mailbox.push(Mail {
                    kept: !planted!(RaiseApart),
                    ..Mail::new(event)
                });
            }
        }
        self.make_ready(number, true);
    }

    /// There is an instance of the id that was to be started: its event is raised there.
    fn raise_instead(&mut self, number: InstanceNumber, event: Option<Event>, reply: R) {
        let mail = event.and_then(|event| self.if_there_is_room(event, reply));
        if let Some(mail) = mail {
            self.on_number(number, Want::Mail(mail));
        }
    }

    /// An event, unless the disk is too full for it: then whoever raises it is told so.
    fn if_there_is_room(&mut self, event: Event, reply: R) -> Option<Mail<R>> {
        match self.shortage.and_then(Shortage::for_events) {
            Some(shortage) => {
                self.work.reply(reply, Response::LowOnSpace(shortage));
                None
            }
            None => Some(Mail::of_client(event, reply)),
        }
    }

    /// Begins an instance in memory, to take its first turn at once or `at` a given time; its start is the
    /// first thing in its mailbox.
    pub(super) fn begin(
        &mut self,
        started: Box<Started>,
        at: Option<Timestamp>,
        mail: impl FnOnce(Event) -> Mail<R>,
    ) -> InstanceNumber {
        let number = InstanceNumber(self.next_number);
        self.next_number += 1;
        let header = Header {
            kind: Kind::Orchestration,
            id: started.instance.clone(),
            number,
            execution: started.execution,
            name: started.name.clone(),
            version: started.version.clone(),
            status: RuntimeStatus::Pending,
            created: self.work.now,
            updated: self.work.now,
            turns: 0,
            custom_status: None,
            problem: None,
            parent: started.parent.clone(),
            tags: started.tags.clone(),
            suspended: None,
            scheduled: at.map(|at| Scheduled {
                at,
                due: at <= self.work.now,
            }),
        };
        let mut instance = Instance::new(header, self.work.hub);
        instance.input = Some(started.input.clone());
        instance.mailbox.push(mail(Event::Started(started)));
        self.keep(instance);
        number
    }

    pub(super) fn send(&mut self, id: InstanceId, mail: Mail<R>) {
        self.on_id(id, Want::Mail(mail));
    }

    /// Goes on with an instance, loading it if need be.
    fn on_id(&mut self, id: InstanceId, want: Want<R>) {
        if let Some(number) = self.ids.get(&id) {
            self.on_number(*number, want);
        } else if self.purges.is_gone(&id) {
            self.refuse(vec![want], &Response::NotFound);
        } else {
            self.fetch_instance(InstanceKey::Id(id), want);
        }
    }
}
