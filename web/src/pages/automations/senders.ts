/** Who sends webhooks, how they sign, and where they take the address and the secret. */

import type { Trigger } from "./data.ts";

export interface Sender {
  name: string;
  signature: NonNullable<Trigger["webhook_signature"]>;
  hint: string;
  /** The sender makes the secret, not we. */
  given?: true;
  steps: readonly string[];
}

export const SENDERS: readonly Sender[] = [
  {
    name: "GitHub",
    signature: "github",
    hint: "A repository's or an organization's events.",
    steps: ["In the repository: Settings, Webhooks, Add webhook.", "Payload URL: the address. Content type: application/json.", "Secret: the secret. Choose the events."],
  },
  {
    name: "Stripe",
    signature: "stripe",
    hint: "Payments, subscriptions, disputes.",
    given: true,
    steps: ["In the dashboard: Developers, Webhooks, Add endpoint, with the address.", "Reveal the signing secret (whsec_…).", "Set it as this trigger's secret: it was made by Stripe."],
  },
  {
    name: "Slack",
    signature: "slack",
    hint: "Events of an app.",
    given: true,
    steps: ["In the app: Event Subscriptions, Request URL: the address.", "Basic Information, Signing Secret: it is this trigger's secret."],
  },
  {
    name: "GitLab",
    signature: "gitlab",
    hint: "A project's or a group's events.",
    steps: ["In the project: Settings, Webhooks, Add new webhook, with the address.", "Secret token: the secret."],
  },
  {
    name: "Shopify",
    signature: "shopify",
    hint: "Orders, products, customers.",
    given: true,
    steps: ["In the admin: Settings, Notifications, Webhooks, Create webhook, with the address, as JSON.", "The signing secret below the list is this trigger's secret."],
  },
  {
    name: "Standard Webhooks",
    signature: "standard",
    hint: "Svix, Clerk, Resend, and others that follow the standard.",
    steps: ["Add an endpoint with the address.", "Use the secret, or set the sender's own as this trigger's."],
  },
  {
    name: "A program of yours",
    signature: "agh",
    hint: "Signs with a time and HMAC-SHA256.",
    steps: ["Send POST with X-AGH-Webhook-Timestamp and X-AGH-Webhook-Signature: sha256=HMAC of “time.body”.", "The documentation has a curl that works."],
  },
];
